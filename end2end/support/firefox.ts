import puppeteer, { type Browser } from "puppeteer-core";

/** Firefox, over WebDriver BiDi: Playwright drives only builds of its own. */
export async function firefox(): Promise<Browser> {
  const executablePath = process.env.E2E_FIREFOX;
  if (!executablePath) throw new Error("E2E_FIREFOX is not set: run `cargo xtask test e2e`");
  return puppeteer.launch({ browser: "firefox", executablePath, headless: true });
}
