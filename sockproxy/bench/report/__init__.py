"""What a result says, for people.

text        a table for a terminal
html        one page that needs nothing besides itself, from page.html.j2 or changes.html.j2
plots       the page's plots, as SVG; panel: what they have in common
markdown    the same without plots
timeline    the course of long runs, second by second
samples     all timeline    the course of long runs, second by second
samples as CSV
view        what html and markdown show, from the top down
questions, matrix, case, terms   the parts of view: what all cases say, one case, what terms mean
chart       the chart that answers a question
changes     what the page of two results shows
facts, parts, words     what those are made of
"""
