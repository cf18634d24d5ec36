"""Where the desired state comes from: Git, or a folder."""
