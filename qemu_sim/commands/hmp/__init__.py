"""Commands of the human monitor (HMP): text in, text out."""
