"""A KServe stand-in for laptops and tests: real model servers and a real traffic split, Knative mode.

It behaves as KServe's controller, its webhook and Knative's route do, and knows nothing about who
writes the InferenceServices. It is never offered for production.
"""
