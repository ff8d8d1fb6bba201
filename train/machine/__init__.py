"""What the training runs on: processes, devices, number formats, signals, command lines."""
