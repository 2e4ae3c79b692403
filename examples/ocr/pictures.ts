/** How a row of text is set. */
export interface TextStyle {
  /** A CSS font family list. */
  readonly font: string;
  /** In pixels. */
  readonly size: number;
  readonly bold?: boolean;
  readonly italic?: boolean;
}

/** A row: one text at the left, or one at the left and one at the right margin. Its style may differ from the picture's. */
export interface Row extends Partial<TextStyle> {
  readonly left: string;
  readonly right?: string;
  /** Space above the row, as a part of its size. @default 0.5 */
  readonly gap?: number;
}

/** A picture to draw: rows of text from top to bottom. */
export interface Picture extends TextStyle {
  /** The file, relative to this folder. */
  readonly file: string;
  /** In pixels. The height follows from the rows. */
  readonly width: number;
  readonly paper: string;
  readonly ink: string;
  /** How strong the noise is, in levels of 255. @default 0 */
  readonly grain?: number;
  /** Turns the text, in degrees clockwise. @default 0 */
  readonly tiltDegrees?: number;
  readonly rows: readonly Row[];
}

const sans = "Liberation Sans, Arial, Helvetica, sans-serif";
const serif = "Liberation Serif, Times New Roman, Times, serif";
const mono = "Liberation Mono, Courier New, Courier, monospace";
const wideSans = "DejaVu Sans, Verdana, sans-serif";
const wideSerif = "DejaVu Serif, Georgia, serif";
const wideMono = "DejaVu Sans Mono, Menlo, Consolas, monospace";
const bookSerif = "C059, Century Schoolbook, Century, serif";
const narrow = "Liberation Sans Narrow, Arial Narrow, sans-serif";

/** Every picture that the example is tried on. */
export const pictures: readonly Picture[] = [
  {
    file: "receipt.png",
    width: 420,
    paper: "#f6f4ee",
    ink: "#2a2a2a",
    grain: 6,
    font: wideMono,
    size: 17,
    rows: [
      { left: "Harbour Street Bakery", size: 22, bold: true },
      { left: "14 Harbour Street, Bristol" },
      { left: "Tel. 0117 496 0283" },
      { left: "Receipt 004217", right: "09:42", gap: 1.2 },
      { left: "2 Flat white", right: "6.80", gap: 1.2 },
      { left: "1 Sourdough loaf", right: "4.25" },
      { left: "3 Almond croissant", right: "9.15" },
      { left: "1 Orange juice", right: "3.50" },
      { left: "Subtotal", right: "23.70", gap: 1.2 },
      { left: "VAT 20%", right: "4.74" },
      { left: "TOTAL", right: "28.44", size: 22, bold: true },
      { left: "Paid by card ending 5519", gap: 1.2 },
      { left: "Thank you, see you tomorrow!" },
    ],
  },
  {
    file: "pictures/letter.png",
    width: 640,
    paper: "#ffffff",
    ink: "#000000",
    font: serif,
    size: 22,
    rows: [
      { left: "Dear Ms Carter," },
      { left: "Thank you for your order of 12 March. The three lamps left", gap: 1 },
      { left: "our warehouse this morning and should reach you by Friday." },
      { left: "If the parcel is damaged, please keep the box and write to us" },
      { left: "within 14 days; we will collect it at no cost to you." },
      { left: "Yours sincerely,", gap: 1 },
      { left: "Henry Whitfield", italic: true },
    ],
  },
  {
    file: "pictures/sign.png",
    width: 520,
    paper: "#143d2b",
    ink: "#f5f5f0",
    font: sans,
    size: 40,
    bold: true,
    rows: [
      { left: "Platform 7", right: "14:35" },
      { left: "Express to Oxford" },
      { left: "Calling at Reading, Didcot", size: 28, bold: false },
      { left: "Delayed by 8 minutes", size: 28, bold: false },
    ],
  },
  {
    file: "pictures/invoice.png",
    width: 600,
    paper: "#ffffff",
    ink: "#333333",
    font: sans,
    size: 18,
    rows: [
      { left: "INVOICE", right: "No. 2026-0387", size: 26, bold: true },
      { left: "Date of issue", right: "17 September 2026", gap: 1 },
      { left: "Due within 30 days", right: "17 October 2026" },
      { left: "Oak desk, 160 x 80 cm", right: "$1,249.00", gap: 1 },
      { left: "Office chair, black leather", right: "$389.50" },
      { left: "Delivery and assembly", right: "$75.00" },
      { left: "Discount for new customers", right: "-$50.00" },
      { left: "Amount due", right: "$1,663.50", bold: true, size: 20, gap: 1 },
    ],
  },
  {
    file: "pictures/terminal.png",
    width: 620,
    paper: "#1e1e2a",
    ink: "#d6d6d6",
    font: mono,
    size: 15,
    rows: [
      { left: "Server started on port 8080 with 4 workers" },
      { left: "Loaded model resnet50 in 1.84 seconds" },
      { left: "Warning: cache is 92% full, removing old entries" },
      { left: "Request 7f3a91 finished in 38 ms (status 200)" },
      { left: "Request 7f3a92 failed: the file was not found" },
      { left: "Memory in use: 1536 of 4096 MB" },
    ],
  },
  {
    file: "pictures/recipe.png",
    width: 560,
    paper: "#fbf3df",
    ink: "#4a2f1a",
    font: wideSerif,
    size: 19,
    rows: [
      { left: "Lemon and Poppy Seed Cake", size: 28, bold: true },
      { left: "Serves 8. Ready in 55 minutes.", italic: true },
      { left: "250 g plain flour, sifted", gap: 1 },
      { left: "180 g caster sugar" },
      { left: "3 large eggs, at room temperature" },
      { left: "2 tablespoons of poppy seeds" },
      { left: "Bake at 175 degrees for 40 minutes,", gap: 1 },
      { left: "then leave to cool in the tin." },
    ],
  },
  {
    file: "pictures/ticket.png",
    width: 500,
    paper: "#d9d9d9",
    ink: "#3c3c3c",
    grain: 8,
    font: narrow,
    size: 24,
    rows: [
      { left: "BOARDING PASS", size: 32, bold: true },
      { left: "Passenger", right: "Flight", size: 17, gap: 0.9 },
      { left: "MORGAN / ELEANOR", right: "KX 2847", gap: 0.2 },
      { left: "From", right: "Seat", size: 17, gap: 0.9 },
      { left: "Lisbon, Terminal 1", right: "23A", gap: 0.2 },
      { left: "Gate closes at 18:05", bold: true, gap: 0.9 },
    ],
  },
  {
    file: "pictures/card.png",
    width: 440,
    paper: "#ffffff",
    ink: "#1f3a6e",
    font: sans,
    size: 14,
    rows: [
      { left: "Dr. Amelia Novak", size: 24, bold: true },
      { left: "Head of Applied Research", italic: true, size: 16 },
      { left: "Northwind Instruments Ltd.", gap: 1 },
      { left: "52 King's Road, Cambridge CB4 1QX" },
      { left: "Phone: +44 1223 555 019" },
      { left: "amelia.novak@northwind.example" },
    ],
  },
  {
    file: "pictures/book.png",
    width: 620,
    paper: "#f1efe9",
    ink: "#1c1c1c",
    grain: 5,
    font: bookSerif,
    size: 21,
    rows: [
      { left: "Chapter 4", size: 30, italic: true },
      { left: "The rain had stopped before dawn, and the valley lay under", gap: 1.2 },
      { left: "a thin white mist. From the window she could count eleven" },
      { left: "boats on the river, each with a lantern still burning. No" },
      { left: "one spoke. Somewhere below, a dog barked twice and then" },
      { left: "fell silent, as if it had changed its mind." },
    ],
  },
  {
    file: "pictures/notice.png",
    width: 560,
    paper: "#ffffff",
    ink: "#8a1c1c",
    font: wideSans,
    size: 20,
    rows: [
      { left: "Please note", size: 34, bold: true },
      { left: "The lift is out of service until Monday." },
      { left: "Use the stairs at the north entrance," },
      { left: "or call 555-0142 if you need help." },
      { left: "We are sorry for the trouble.", italic: true },
    ],
  },
  {
    file: "pictures/tilted.png",
    width: 540,
    paper: "#eceff1",
    ink: "#263238",
    tiltDegrees: 4,
    font: sans,
    size: 24,
    rows: [
      { left: "Packed by hand in Vermont", bold: true },
      { left: "Pure maple syrup, grade A" },
      { left: "Net weight 473 ml (16 fl oz)" },
      { left: "Best before 30 June 2027" },
    ],
  },
  {
    file: "pictures/faint.png",
    width: 580,
    paper: "#ffffff",
    ink: "#9a9a9a",
    font: serif,
    size: 18,
    italic: true,
    rows: [
      { left: "Opening hours: Tuesday to Sunday, 10 am to 6 pm." },
      { left: "Adults $14.50, students $9.00, children under 6 free." },
      { left: "The last admission is 45 minutes before closing." },
      { left: "Photographs without flash are welcome.", font: sans },
    ],
  },
];
