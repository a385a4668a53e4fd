"""The targets: what this service promises of its speed, and one measurement for each."""
