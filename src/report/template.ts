/**
 * Frame of the page, Handlebars. What is visible without a script: verdict, counts, errors and the failures. The script
 * takes `main` over when it runs. `{{…}}` escapes; `{{{…}}}` stands only where the value is made by this program:
 * style and script as built, data with `<` escaped.
 */
export const PAGE_TEMPLATE = `<!doctype html>
<html lang="en" data-verdict="{{verdict.word}}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{contentPolicy}}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="mk-ci {{run.toolVersion}}">
<title>{{mark}} {{title}}</title>
<style>{{{style}}}</style>
</head>
<body>
<a class="skip" href="#main">Skip to results</a>
<header id="top" class="top">
<div class="top-line"><span class="brand">mk-ci</span><h1>{{title}}</h1><span id="tools"></span></div>
<p class="verdict verdict-{{verdict.word}}"><strong>{{verdictWord}}</strong> <span>{{verdict.sentence}}</span></p>
<p class="facts">{{#each run.links}}<a href="{{url}}" rel="noreferrer noopener">{{label}}</a>{{/each}}{{#each facts}}<span>{{this}}</span>{{/each}}</p>
</header>
<main id="main" tabindex="-1">
<section class="static">
<ul class="counts">{{#each counts}}<li class="s-{{status}}"><b>{{count}}</b> {{label}}</li>{{/each}}</ul>
{{#each errors}}<article class="card s-error"><h3>{{code}}</h3><p>{{message}}</p>{{#if advice}}<p class="advice">{{advice}}</p>{{/if}}</article>{{/each}}
{{#if failures}}<h2>What did not pass</h2>{{/if}}
{{#each failures}}
<article class="card s-{{status}}" id="test-{{id}}-{{cell}}"><h3>{{name}}</h3><p class="where">{{place}}</p>{{#if message}}<p class="message">{{message}}</p>{{/if}}{{#if text}}<pre>{{text}}</pre>{{/if}}</article>
{{/each}}
{{#if more}}<p>{{more}}</p>{{/if}}
<noscript><p class="note">Logs, search and filters need JavaScript; this page loads nothing from outside.</p></noscript>
</section>
</main>
<script type="application/json" id="data">{{{json}}}</script>
<script>{{{script}}}</script>
`;

/** Ends the page; blocks of logs may stand before it. */
export const PAGE_END = '</body>\n</html>\n';
