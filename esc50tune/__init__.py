"""One trial: a recording becomes features, a model learns them, and every epoch has a result."""
