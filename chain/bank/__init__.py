"""Accounts and coins."""
