"""Words, numbers and text from outside, made ready to be shown in a language."""
