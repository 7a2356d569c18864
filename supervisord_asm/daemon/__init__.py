"""The imperative shell of asmd: what happens becomes core's events, core's effects become acts.

Only `wiring.py` constructs adapters. One thread runs everything here (an asyncio loop); native
threads sample and drain logs, one Python thread writes the journal.
"""
