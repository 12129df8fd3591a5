"""Weight files of Keras, without Keras."""
