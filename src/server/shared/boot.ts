/** What stands in the page itself; the data of each page comes from beside it or from the server. */
export interface Boot {
  readonly mode: 'static' | 'live';
  readonly toolVersion: string;
  /** ISO 8601; when the static site was written. */
  readonly writtenAt?: string;
  /** Tests that have a page in the static site, for the search box. */
  readonly tests?: readonly BootTest[];
  /** Files of pages that the static site holds. */
  readonly pages?: readonly string[];
  /** Overview, environments, tests and commits that were left out of the static site. */
  readonly leftOut?: Readonly<Record<string, number>>;
}

export interface BootTest {
  readonly repository: string;
  readonly environment: string;
  readonly package: string;
  readonly test: string;
}
