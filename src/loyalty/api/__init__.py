"""HTTP: parse, call, render. A noun's router and its schemas live together."""
