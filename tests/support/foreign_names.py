"""Names that try to be more than a name, and how to see whether one was."""

import re

from markdown_it import MarkdownIt

COMMANDS = [
    "\x1b[31mred",  # CSI
    "\x1b]0;title\x07",  # OSC
    "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "\x9b2J",  # CSI as one character of C1
    "over\rwritten",
    "back\b\b\bspace",
    "bell\a",
    "two\nlines",
    "line\u2028separator",
    "\x85next",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "half\udcffname",
    "no\u200bwidth",
    "\0",
    "\x7f",
]
MARKS = [
    "a\n\n# Approved by admin",
    "a\r# Approved",
    "a | b | c",
    "`code`",
    "**bold** _it_ ~~gone~~",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- hidden",
    "![picture](http://evil.example/x.png)",
    "[link](javascript:alert(1))",
    "<http://evil.example>",
    "[x]: http://evil.example",
    "&lt;b&gt; &#64;team",
    "\\@team \\| x",
    "$`x`$ $$x$$",
]
LINKS = [
    "@team",
    "ask @org/team",
    "#1",
    "org/repo#12",
    "GH-7",
    "gh-7",
    "http://evil.example",
    "https://evil.example",
    "www.evil.example",
    "WWW.evil.example",
    "me@evil.example",
    "mailto:me@evil.example",
    ":tada:",
    "!12",
    "abc@0123456789abcdef0123456789abcdef01234567",
]
# What GitHub and GitLab look for in what was rendered.
FOUND = re.compile(r"@\w|[#!~%&$]\w|\bGH-\d|://|\bwww\.|\w@\w|:\w+:|mailto:\w", re.IGNORECASE)


def tokens_of(source):
    return [
        each
        for token in MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(source)
        for each in [token, *(token.children or [])]
    ]
