"""The page's style sheet. The page's policy holds its hash, so that no other style can be brought in."""

from __future__ import annotations

import base64
import hashlib

# Contrast is at least 4.5 to 1 for text and 3 to 1 for what is drawn, in both schemes (WCAG 2.2, AA).
STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f4f3ef; --card: #ffffff; --line: #dfdcd4; --ink: #1c2430; --soft: #56606e;
  --accent: #0d6560; --wait: #8a5300; --well: #f1efe9; --shade: 0 1px 2px #1c243014, 0 12px 40px #1c24300f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #11151a; --card: #191f26; --line: #2e3742; --ink: #e9ecef; --soft: #a5b0bd;
    --accent: #5ecabf; --wait: #eab266; --well: #10151a; --shade: 0 1px 2px #0006, 0 12px 40px #0004;
  }
}
*, ::before, ::after { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; min-height: 100svh; display: grid; place-items: center;
  padding: clamp(1rem, 4vw, 3rem); background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
main {
  width: 100%; max-width: 42rem; background: var(--card); border: 1px solid var(--line); border-radius: 1.125rem;
  box-shadow: var(--shade); padding: clamp(1.5rem, 5vw, 3rem);
}
h1 {
  margin: .75rem 0 .5rem; font-size: clamp(1.5rem, 1.2rem + 1.6vw, 2rem); line-height: 1.2; font-weight: 650;
  letter-spacing: -.015em; text-wrap: balance;
}
h2 { margin: 0 0 .625rem; font-size: .875rem; line-height: 1.4; font-weight: 600; color: var(--soft); }
p { margin: 0; text-wrap: pretty; }
section { margin-top: 2rem; }
code {
  font: .9375em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
  overflow-wrap: anywhere;
}
.eyebrow { display: flex; align-items: center; gap: .625rem; font-size: .875rem; color: var(--soft); }
.eyebrow code { margin-left: auto; }
.dot { flex: none; width: .625rem; height: .625rem; border-radius: 50%; background: var(--wait); }
.lead { color: var(--soft); font-size: 1.0625rem; }
.sides {
  display: grid; grid-template-columns: 1fr auto 1fr; gap: 0 1rem; margin: 2rem 0 0; align-items: center;
  padding: 1.125rem 1.25rem; background: var(--well); border-radius: .75rem;
}
.sides dt { font-size: .875rem; color: var(--soft); }
.sides dd { margin: 0; font-size: 1.125rem; }
.sides svg { width: 1.5rem; height: 1.5rem; color: var(--wait); }
ol { list-style: none; margin: 0; padding: 0; }
li { position: relative; padding: .1875rem 0 .1875rem 1.625rem; }
li::before {
  content: ""; position: absolute; left: .125rem; top: .625rem; width: .6875rem; height: .6875rem; border-radius: 50%;
  border: 2px solid var(--soft); background: var(--card); z-index: 1;
}
li + li::after {
  content: ""; position: absolute; left: .40625rem; top: -.8125rem; height: 1.5rem; width: 2px; background: var(--line);
}
li.now::before { border-color: var(--accent); }
li.more { color: var(--soft); font-size: .9375rem; }
li.more::before { border-color: transparent; background: var(--line); }
li span { color: var(--accent); font-size: .875rem; margin-left: .25rem; }
.work { padding: 1.25rem; border: 1px solid var(--line); border-radius: .75rem; }
.work h2 { color: var(--ink); font-size: 1rem; }
.work p + p { margin-top: .75rem; color: var(--ink); }
.work p { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; font-size: .875rem;
  color: var(--soft); font-variant-numeric: tabular-nums; }
progress {
  appearance: none; -webkit-appearance: none; display: block; width: 100%; height: .5rem; margin: 0 0 .625rem;
  border: 0; border-radius: 1rem; overflow: hidden; background: var(--line); color: var(--accent);
}
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: var(--accent); border-radius: 1rem; }
progress::-moz-progress-bar { background: var(--accent); border-radius: 1rem; }
progress:indeterminate::-webkit-progress-bar { background: linear-gradient(90deg, var(--line), var(--accent)); }
.command {
  margin: 0 0 .375rem; padding: .875rem 1.125rem; background: var(--well); border: 1px solid var(--line);
  border-radius: .75rem; white-space: pre-wrap; cursor: text;
}
.command code, .steps code { user-select: all; -webkit-user-select: all; }
.steps code { color: var(--ink); background: var(--well); padding: .0625rem .375rem; border-radius: .375rem; }
.note { font-size: .875rem; color: var(--soft); }
footer { margin-top: 2rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
@media (max-width: 30rem) {
  .sides { grid-template-columns: 1fr; gap: .625rem; }
}
@media (prefers-reduced-motion: no-preference) {
  .dot, li.now::before { animation: breathe 2.4s ease-in-out infinite; }
  @keyframes breathe { 50% { opacity: .35; } }
}
@media (forced-colors: active) { .dot { background: CanvasText; } }
"""

STYLE_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
