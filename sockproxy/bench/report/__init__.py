"""What a result says, for people.

text        a table for a terminal
html        one page that needs nothing besides itself, from page.html.j2
plots       the page's plots, as SVG; panel: what they have in common
markdown    the same without plots
view        what html and markdown show, from the top down
overview, case, terms   the parts of view: all cases together, one case, what terms mean
facts, parts, words     what those are made of
"""
