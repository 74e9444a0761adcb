import { httpUrl } from '../results/http-url.js';
import type { SourceInfo } from '../results/model.js';

/**
 * Links to what was tested. Only `http:` and `https:` addresses become links; anything else is shown as text elsewhere.
 *
 * @param serverUrl for a repository given as `owner/name`
 */
export function linksOf(
  source: SourceInfo,
  serverUrl = 'https://github.com',
): { readonly label: string; readonly url: string }[] {
  const links: { label: string; url: string }[] = [];
  const add = (label: string, url: string | undefined): void => {
    const safe = url === undefined ? undefined : httpUrl(url);
    if (safe !== undefined) links.push({ label, url: safe });
  };
  const base = repositoryUrl(source.repository, serverUrl);
  if (base !== undefined) {
    add(source.repository ?? base, base);
    if (source.pullRequest !== undefined)
      add(`PR #${String(source.pullRequest)}`, `${base}/pull/${String(source.pullRequest)}`);
    if (source.commit !== undefined) {
      add(
        `${source.commit.slice(0, 10)}${source.dirty === true ? ' + changes' : ''}`,
        `${base}/commit/${encodeURIComponent(source.commit)}`,
      );
    }
  }
  add('CI job', source.jobUrl);
  return links;
}

function repositoryUrl(repository: string | undefined, serverUrl: string): string | undefined {
  if (repository === undefined) return undefined;
  if (/^[\w.-]+\/[\w.-]+$/.test(repository)) return `${serverUrl.replace(/\/$/, '')}/${repository}`;
  return httpUrl(repository)
    ?.replace(/\.git$/, '')
    .replace(/\/$/, '');
}
