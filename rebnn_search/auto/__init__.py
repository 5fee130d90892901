"""From a folder of images or a table to a trained model, within a given time. Light: what is heavy loads on the user's time."""
