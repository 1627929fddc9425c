"""Diagrams of a machine, straight from its schema: Mermaid, DOT, D2, SVG and text.

``graph.build`` says what is in a picture, the other modules write it in one language each. Names of
states are plain words; every other text is escaped by the rules of the language it goes to.
"""

from __future__ import annotations
