"""Load for the service, honestly measured: a lean generator, a bare echo as the floor, and figures
as ratios of one run.
"""
