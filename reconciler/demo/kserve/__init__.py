"""A KServe stand-in for laptops and tests: real model servers and a real traffic split, in both modes.

It behaves as KServe's controller, its webhook, Knative and the Gateway API do, and knows nothing about who
writes the InferenceServices. It is never offered for production.
"""
