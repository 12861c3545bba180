"""Sound: spectrograms as a layer, networks that take waveforms, and where weights of one are read."""
