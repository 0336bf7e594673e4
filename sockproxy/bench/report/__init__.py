"""What a result says, for people.

text        a table for a terminal
html        one page that needs nothing besides itself, from page.html.j2
plots       its plots, as SVG
markdown    the same without plots
view        what html and markdown show, from the top down
verdict, case, facts, parts, words     what view is made of
"""
