"""What a run found: its document, and what may be said of it.

document     the document's shape; reading it, writing it
metrics      each figure's name, unit, and which way is better
stats        ratios with their confidence intervals
summary      what the samples of one document say
compare      what changed from one document to another
"""
