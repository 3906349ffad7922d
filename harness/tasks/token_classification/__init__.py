"""Token classification: entity-level F1 on sentences that are split into words and tagged in the IOB2 scheme."""
