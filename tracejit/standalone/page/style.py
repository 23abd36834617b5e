"""How the page looks, in light and in the dark."""

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --faint: #667; --line: #d5d9e0; --card: #f5f7fa;
  --link: #0b5cad; --op: #e8f0fb; --outside: #f0f0f0; --product: #fde9d4; --slabs: #e6f6e6; --host: #fbe3e3; --peak: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181d; --ink: #e4e7ec; --faint: #99a1ad; --line: #3a414c;
  --card: #1d2229; --link: #79b8ff; --op: #24344d; --outside: #2b3038; --product: #4d3722; --slabs: #24402a; --host: #4d2626;
  --peak: #ff7b6b; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 82rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin-bottom: .4rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
p.faint, .faint { color: var(--faint); }
table { border-collapse: collapse; font: 13px/1.45 ui-monospace, monospace; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: normal; } td.number { text-align: right; white-space: nowrap; }
tr:target, .node:target { outline: 2px solid var(--peak); }
summary { cursor: pointer; color: var(--faint); } details { margin: .6rem 0; }
.picture { overflow: auto; max-height: 44rem; border: 1px solid var(--line); border-radius: 6px; background: var(--card); }
svg { display: block; } svg text { font: 11px ui-monospace, monospace; fill: var(--ink); }
.node rect { stroke: var(--faint); stroke-width: .7; fill: var(--op); } .node.read rect { fill: var(--outside); }
.node.written rect { fill: var(--outside); stroke: var(--ink); }
.node.product rect { fill: var(--product); } .node.slabs rect { fill: var(--slabs); } .node.host rect { fill: var(--host); }
.node:hover rect, .value:hover rect { stroke: var(--peak); stroke-width: 2; }
.edge { fill: none; stroke: var(--faint); stroke-opacity: .55; } .edge.back { stroke-dasharray: 4 3; }
.value rect { stroke: var(--ground); stroke-width: .6; } .value text { fill: #111; pointer-events: none; }
.c0 { fill: #8ecae6; } .c1 { fill: #f4a261; } .c2 { fill: #a3d977; } .c3 { fill: #d6a2e8; }
.c4 { fill: #f6d55c; } .c5 { fill: #7fd1c7; } .c6 { fill: #f29191; } .c7 { fill: #b4b8c5; }
path.axis { fill: none; stroke: var(--faint); } svg text.axis { fill: var(--faint); }
rect.peak { fill: none; stroke: var(--peak); stroke-dasharray: 3 2; pointer-events: none; } svg text.peak { fill: var(--peak); }
"""
