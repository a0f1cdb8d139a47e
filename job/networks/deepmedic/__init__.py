"""DeepMedic: its sizes and its design need no torch, the network does."""
