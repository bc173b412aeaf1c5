"""Runs on a cluster of Ray, with photos and outputs on this machine or in an object store."""
