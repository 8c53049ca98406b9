export const clientVersions: string[]
export function clientBinary(version: string): string
