"""A points and entitlements service on Postgres."""
