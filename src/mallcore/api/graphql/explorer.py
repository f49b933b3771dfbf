"""The page that browsers get from a server for development: write a document, send it, look at the answer.

It loads nothing from elsewhere, and may speak to nobody but this server. The token stays in the page.
"""

from __future__ import annotations

import base64
import hashlib

_STYLE = """
body { margin: 0; font: 14px/1.4 system-ui, sans-serif; display: grid; height: 100vh;
  grid: auto minmax(0, 1fr) minmax(0, 9rem) / 20rem 1fr 1fr; }
header { grid-column: 1 / -1; display: flex; gap: .5rem; padding: .5rem; border-bottom: 1px solid #8884; }
textarea, pre, nav { margin: 0; padding: .6rem; border: 0; border-right: 1px solid #8884; overflow: auto;
  resize: none; }
textarea, pre { font: 13px/1.45 ui-monospace, monospace; tab-size: 2; }
nav, #answer { grid-row: 2 / 4; } nav { grid-column: 1; } #document { grid-column: 2; grid-row: 2; }
#variables { grid-column: 2; grid-row: 3; border-top: 1px solid #8884; } #answer { grid-column: 3; }
nav a { display: block; padding: .1rem 0; cursor: pointer; overflow-wrap: anywhere; } nav small { opacity: .7; }
nav h2 { font-size: 1em; margin: .6rem 0 .2rem; } input { flex: 1; font: inherit; } button { font: inherit; }
@media (prefers-color-scheme: dark) { body, textarea, input, button { background: #1b1d21; color: #e6e6e6; } }
"""

_SCRIPT = """
const $ = (id) => document.getElementById(id)
const send = async (query, variables) => {
  const headers = { 'content-type': 'application/json', accept: 'application/graphql-response+json' }
  if ($('token').value) headers.authorization = 'Bearer ' + $('token').value.trim()
  const body = JSON.stringify({ query, variables })
  const response = await fetch(location.pathname, { method: 'POST', headers, body })
  return response.json()
}
const run = async () => {
  try {
    const given = $('variables').value.trim()
    $('answer').textContent = JSON.stringify(await send($('document').value, given ? JSON.parse(given) : {}), null, 2)
  } catch (error) { $('answer').textContent = String(error) }
}
const text = (type) => type.kind === 'NON_NULL' ? text(type.ofType) + '!'
  : type.kind === 'LIST' ? '[' + text(type.ofType) + ']' : type.name
const TYPE = 'kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } }'
const FIELDS = `fields { name description args { name type { ${TYPE} } } type { ${TYPE} } }`
let roots = []
const list = () => {
  const wanted = $('search').value.toLowerCase(), nav = $('fields')
  nav.replaceChildren()
  for (const [kind, root] of roots) {
    const title = document.createElement('h2')
    title.textContent = kind
    nav.append(title)
    for (const field of root.fields.filter((one) => one.name.toLowerCase().includes(wanted))) {
      const link = document.createElement('a'), about = document.createElement('small')
      link.textContent = field.name + ': ' + text(field.type)
      link.title = field.description || ''
      about.textContent = field.args.map((one) => ` ${one.name}: ${text(one.type)}`).join(',')
      link.append(about)
      link.onclick = () => {
        const needed = field.args.filter((one) => one.type.kind === 'NON_NULL').map((one) => `${one.name}: `)
        const given = needed.length ? `(${needed.join(', ')})` : ''
        $('document').value = `${kind} {\\n  ${field.name}${given} {\\n    __typename\\n  }\\n}\\n`
      }
      nav.append(link)
    }
  }
}
const load = async () => {
  const kinds = ['query', 'mutation', 'subscription']
  const asked = kinds.map((kind) => `${kind}Type { ${FIELDS} }`).join(' ')
  const found = (await send(`{ __schema { ${asked} } }`)).data
  roots = found ? kinds.map((kind) => [kind, found.__schema[kind + 'Type']]).filter((one) => one[1]) : []
  list()
}
$('run').onclick = run
$('search').oninput = list
document.onkeydown = (event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) run() }
load()
"""

PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>GraphQL</title><style>{_STYLE}</style></head><body>
<header><button id="run">Run (Ctrl-Enter)</button><input id="token" type="password" autocomplete="off"
placeholder="token"><input id="search" placeholder="find a field"></header>
<nav id="fields"></nav>
<textarea id="document" spellcheck="false">{{ apiVersion }}</textarea>
<textarea id="variables" spellcheck="false" placeholder='variables: {{"name": "value"}}'></textarea>
<pre id="answer"></pre>
<script>{_SCRIPT}</script></body></html>
""".encode()


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; script-src {_digest(_SCRIPT)}; style-src {_digest(_STYLE)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do, for ``Content-Security-Policy``."""
