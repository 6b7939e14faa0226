"""Programs that train the networks which the project ships."""
