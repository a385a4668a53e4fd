"""Tests of the whole service: a real supervisor, real processes, a real store, over real gRPC, on each engine."""
