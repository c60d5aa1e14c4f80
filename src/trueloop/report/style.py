"""The look of the page: readable in light and dark, on paper, and without colours."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6875; --line: #d9dfe5; --paper: #ffffff; --panel: #f6f8fa;
  --one: #23639e; --two: #b4540a; --three: #177a56; --good: #177a56; --doubtful: #9a6700; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --soft: #9aa7b4; --line: #33404d; --paper: #12181f; --panel: #1a222b;
  --one: #6db3f2; --two: #f0a05a; --three: #56c596; --good: #56c596; --doubtful: #e3b341; --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 28px 24px 60px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 25px; margin: 0; } h2 { font-size: 21px; margin: 40px 0 0; padding-bottom: 6px; border-bottom: 2px solid var(--line); }
h3 { font-size: 17px; margin: 30px 0 4px; } p { margin: 4px 0 10px; color: var(--soft); max-width: 92ch; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line); padding: 5px 14px 5px 0; vertical-align: bottom; }
td { padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; max-width: 34ch; }
th.number, td.number { text-align: right; } td.number:not(.none) { white-space: nowrap; } .none { color: var(--soft); font-style: italic; }
.state { font-weight: 600; } .good { color: var(--good); } .doubtful { color: var(--doubtful); } .bad { color: var(--bad); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(350px, 1fr)); gap: 14px; margin: 14px 0; }
figure { margin: 0; padding: 8px 10px 4px; background: var(--panel); border: 1px solid var(--line); border-radius: 6px; break-inside: avoid; }
figure.wide { max-width: 900px; margin: 12px 0; } figcaption { font-size: 13.5px; font-weight: 600; overflow-wrap: anywhere; }
td.estimate, td.state, td.moment { white-space: nowrap; }
.legend { margin-top: 14px; font-size: 13px; color: var(--soft); } .legend span { margin-right: 16px; white-space: nowrap; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 5px; }
i.one { background: var(--one); } i.two { background: var(--two); } i.three { background: var(--three); }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, "Noto Sans", sans-serif; }
svg .tick { fill: var(--soft); font-size: 10.5px; } svg .says { font-size: 11.5px; } svg text.none { fill: var(--soft); }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .threshold { stroke: var(--bad); stroke-width: 1.4; stroke-dasharray: 5 3; }
svg .one { --tone: var(--one); } svg .two { --tone: var(--two); } svg .three { --tone: var(--three); } svg .plain { --tone: var(--one); }
svg .good { --tone: var(--good); } svg .doubtful { --tone: var(--doubtful); } svg .bad { --tone: var(--bad); }
svg circle { fill: var(--tone); } svg polyline { fill: none; stroke: var(--tone); stroke-width: 1.2; opacity: .55; }
svg .interval { fill: none; stroke: var(--tone); stroke-width: 1.2; } svg path.none { fill: none; stroke: var(--soft); stroke-width: 1.3; }
footer { margin-top: 46px; font-size: 13px; color: var(--soft); border-top: 1px solid var(--line); padding-top: 10px; }
@media print { body { max-width: none; padding: 0; } }
"""
