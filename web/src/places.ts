// The pages that are gone to by name: from the navigation and from the palette.
export type PageOf = readonly [path: string, title: string];

export const teamPages: readonly PageOf[] = [
  ['', 'Delivery and members'],
  ['/repositories', 'Repositories'],
  ['/runs', 'Runs'],
  ['/workloads', 'Workloads'],
  ['/resources', 'Resources'],
  ['/terraform', 'Terraform'],
  ['/secrets', 'Secrets'],
  ['/dashboards', 'Dashboards'],
  ['/alerts', 'Alerts'],
  ['/costs', 'Usage and costs'],
];
export const platformPages: readonly PageOf[] = [
  ['/capacity', 'Capacity'],
  ['/addresses', 'Address pools'],
  ['/audit', 'Audit'],
];
