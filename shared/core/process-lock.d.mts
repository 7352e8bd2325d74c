export function withProcessLock<Result>(path: string, work: () => Result | Promise<Result>, onWait?: () => void): Promise<Result>
