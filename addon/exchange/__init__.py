"""One request on its way: the state that the addons and the replay layer share."""
