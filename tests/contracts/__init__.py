"""What every implementation of a port must do, said once and asked of the simulation and of the real thing alike."""
