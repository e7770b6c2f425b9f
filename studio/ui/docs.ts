/** The name of the file in which the studio keeps a page of the documentation. @param page below docs/, without its extension */
export function docsFile(page: string): string {
  return `${page.replaceAll("/", "-")}.html`;
}

/** Where that page is, from the page of the studio. */
export function docsAddress(page: string): string {
  return `./docs/${docsFile(page)}`;
}
