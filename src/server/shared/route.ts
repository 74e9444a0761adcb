/** Addresses of pages, the part after `#`: the same in the static site and on the server. */

export interface Route {
  readonly kind: 'overview' | 'environment' | 'test' | 'commit';
  readonly repository?: string;
  readonly environment?: string;
  readonly package?: string;
  readonly test?: string;
  readonly commit?: string;
  /** Length of the window in days, on the server. */
  readonly days?: string;
  /** `all`, `base` or `pull-requests`, on the server. */
  readonly runs?: string;
}

const KINDS = ['overview', 'environment', 'test', 'commit'] as const;
const NAMES = ['repository', 'environment', 'package', 'test', 'commit'] as const;
const VIEW = ['days', 'runs'] as const;

/** `#test?environment=docker&test=TestA`; the parts always in one order. */
export function formatRoute(route: Route): string {
  return `#${route.kind}${queryOf(route, [...NAMES, ...VIEW])}`;
}

/** The page that an address means; one that means nothing is the overview. */
export function parseRoute(hash: string): Route {
  const [name, query] = splitOnce(hash.replace(/^#/, ''), '?');
  const kind = KINDS.find((one) => one === name) ?? 'overview';
  const parameters = new URLSearchParams(query);
  const given = [...NAMES, ...VIEW].flatMap((key) => {
    const value = parameters.get(key);
    return value === null ? [] : [[key, value] as const];
  });
  return { kind, ...Object.fromEntries(given) };
}

/** Where the server has the data of a page. */
export function apiPathOf(route: Route): string {
  return `api/pages/${route.kind}${queryOf(route, [...NAMES, ...VIEW])}`;
}

/** File of a page's data in the static site, without its ending: one letter and a hash of the names. */
export function pageFileOf(route: Route): string {
  if (route.kind === 'overview') return 'overview';
  const text = queryOf(route, NAMES);
  return `${route.kind}-${hash32(text, 0x9e3779b9)}${hash32(text, 0x85ebca6b)}`;
}

/** gopogh's server had `?env=E&test=T`; links of old comments go on to work. */
export function routeOfGopogh(search: string): Route | undefined {
  const parameters = new URLSearchParams(search);
  const environment = parameters.get('env');
  const test = parameters.get('test');
  if (environment === null) return undefined;
  return test === null ? { kind: 'environment', environment } : { kind: 'test', environment, test };
}

function queryOf(route: Route, keys: readonly (keyof Route)[]): string {
  const query = new URLSearchParams();
  for (const key of keys) {
    const value = route[key];
    if (value !== undefined) query.set(key, value);
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** Murmur3's mixing over UTF-16 units: names files, protects nothing. Two files of one name are found when they are written. */
function hash32(text: string, seed: number): string {
  let state = seed;
  for (let index = 0; index < text.length; index += 1) {
    state = Math.imul(state ^ text.charCodeAt(index), 0xcc9e2d51);
    state = Math.imul((state << 13) | (state >>> 19), 5) + 0x6b64;
  }
  state ^= state >>> 16;
  state = Math.imul(state, 0x85ebca6b);
  state ^= state >>> 13;
  state = Math.imul(state, 0xc2b2ae35);
  return ((state ^ (state >>> 16)) >>> 0).toString(16).padStart(8, '0');
}
