"""How fast, how large, and how many calls: ratios against raw reads, measured in the same run."""
