"""Adapters: one kernel surface per file. They translate and report; they decide nothing."""
