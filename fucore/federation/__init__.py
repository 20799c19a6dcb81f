"""Networks as flat vectors, local training, federated rounds."""
