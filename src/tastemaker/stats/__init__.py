"""Moments, intervals, ranking metrics and keyed random generators. numpy only, no I/O."""
