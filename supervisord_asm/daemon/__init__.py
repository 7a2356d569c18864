"""The imperative shell of asmd: turns what happens into core's events, and core's effects into acts.

Only `wiring.py` constructs adapters. One thread runs everything here (an asyncio loop); native
threads sample and drain logs, one Python thread writes the journal.
"""
