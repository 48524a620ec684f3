"""The lifecycle, once for all domains: pure functions, no clock, no input or output.

ingest → backtest → train → promote → predict → monitor
"""
