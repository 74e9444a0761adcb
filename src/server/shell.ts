import { createHash } from 'node:crypto';

import { scriptJson, type PageAssets } from '../report/index.js';
import type { Boot } from './shared/boot.js';

export interface Shell {
  readonly html: string;
  /** The same rules as in the page, for the header of an answer. */
  readonly contentPolicy: string;
}

/**
 * The page that every address begins with: style, script and what the script must know before it asks for data.
 *
 * Nothing in it comes from outside except the names in `boot`, and those stand in JSON without `<`.
 */
export function renderShell(boot: Boot, assets: PageAssets): Shell {
  const contentPolicy = policyOf(boot.mode, assets);
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${contentPolicy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>mk-ci</title>
<style>${assets.style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the page</a>
<header id="top" class="top"><div class="top-line"><span class="brand">mk-ci</span><h1><a href="#overview">Test history</a></h1><span id="tools"></span></div></header>
<main id="main" tabindex="-1"><noscript><p class="note">The charts need JavaScript; this page loads nothing from other hosts.</p></noscript></main>
<script type="application/json" id="data">${scriptJson(boot)}</script>
<script>${assets.script}</script>
</body>
</html>
`;
  return { html, contentPolicy };
}

/** Scripts and styles by hash; data from the page's own place only. A page from disk has no origin that `'self'` could mean. */
function policyOf(mode: Boot['mode'], assets: PageAssets): string {
  return [
    "default-src 'none'",
    `script-src ${sha256(assets.script)}${mode === 'static' ? " 'self' file:" : ''}`,
    `style-src ${sha256(assets.style)}`,
    ...(mode === 'live' ? ["connect-src 'self'"] : []),
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types mk-ci-pages',
  ].join('; ');
}

function sha256(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}
