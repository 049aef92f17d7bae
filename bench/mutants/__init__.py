"""Mutation testing: is a small lie in the domain noticed by the tests of the domain?"""
