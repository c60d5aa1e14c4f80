"""The billing-support story: outside clients that see public topics only, and the page that shows what the loop made of them."""
