import type { Page } from "@playwright/test";

/** Milliseconds of a run's parts and bytes that it held, as the page tells them below the picture. */
export type Times = Record<"Starting" | "Downloading" | "Loading" | "First step" | "Other steps" | "Decoding" | "GPU memory" | "WebAssembly memory", number>;

/** The times of the picture that the page shows. */
export const times = (page: Page): Promise<Times> =>
  page.getByTestId("times").evaluate((details) => {
    const facts = Array.from(details.querySelectorAll("dl > div"));
    return Object.fromEntries(facts.map((fact) => [fact.querySelector("dt")?.textContent ?? "", Number(fact.querySelector("data")?.value)])) as Times;
  });
