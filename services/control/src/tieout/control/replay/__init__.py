"""Replay: choose, rehearse, run, prove. One file per step."""
